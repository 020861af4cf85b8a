"""What goes out: HTTP to servers that are not ours, under one set of rules, and mail.

In: a request or a message as a value. Out: the answer as a value, or an error with a reason.
May import: ra, ca, wire, ports, model, errors, reasons; never a face, a store or a key.
"""
