"""`./regalia bench`: what the product costs, as ratios taken within one run. One module per subject.

`measure` reads clocks, `/proc` and medians; `report` holds what comes out; `devices`, `homes`, `peer` and `load` set up
what is measured. Nothing of the product is changed for a measurement: where a stage is timed, our own ports are
wrapped.
"""
