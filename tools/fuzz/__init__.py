"""Fuzzing of the readers: what may leave them, on octets that coverage leads to. `./regalia fuzz`."""
