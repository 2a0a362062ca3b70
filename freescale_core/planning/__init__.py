"""What a cascade is going to do, and what it will cost, before anything runs.

plan     a whole cascade as data
stages   the sizes it goes through
report   a plan as numbers and as text
cost     operations and memory of SDXL's UNet at a size, operations of a transformer's layer
kinds    what the cost of a transformer depends on
transformers  a plan for one of them as numbers and as text
"""
