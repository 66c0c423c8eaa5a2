"""The part of the build that pyproject.toml cannot say: the compiled loop over the pixels."""

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "h5xs_bluesky.reduction.integration._kernel",
            ["h5xs_bluesky/reduction/integration/_kernel.c"],
            optional=True,  # where there is no C compiler frames are reduced with numpy
            py_limited_api=True,  # one build for all versions of Python
            extra_compile_args=["-O3", "-ffp-contract=off"],  # the same sums on every processor
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
