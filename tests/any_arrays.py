"""Hypothesis strategy for arrays that a message may carry."""

from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

ANY = arrays.arrays(
    dtype=st.one_of(
        arrays.boolean_dtypes(),
        arrays.integer_dtypes(),
        arrays.unsigned_integer_dtypes(),
        arrays.floating_dtypes(),
    ),
    shape=arrays.array_shapes(min_dims=0, min_side=0, max_side=4),
)
