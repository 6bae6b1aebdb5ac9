"""`easel prove`: deploy Easel under a name of its own, try it, remove it, and write what was seen.

`steps.py` lists the steps, `runner.py` performs them, `run.py` has what a step uses.
"""
