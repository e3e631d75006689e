"""Bad inputs and faults, one at a time, against plain transformers and against autoreg: how does each end?"""
