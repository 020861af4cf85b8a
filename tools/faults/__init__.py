"""Fault injection: load, faults and a checker around a server of test wiring. `./regalia faults`."""
