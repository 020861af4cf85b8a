"""The console: pages in which administrators do what verbs can do.

A page asks verbs with the caller that its session makes, as the API does, and knows no other way to anything. `face`
wires the pages, `look` is one request, `frame` what every page stands in, `listing` every list and `acts` every form.
"""
