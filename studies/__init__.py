"""Programs that use the library to answer a question once, and keep the answer in `reports/`.

`catalogue` takes every network through export, precisions and builders (`make catalogue`); `fashion_mnist`
trains networks and measures size against accuracy (`make study`). They are no part of the installed package.
"""
