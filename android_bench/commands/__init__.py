"""One module per word of `python -m android_bench WORD`; each defines its own flags."""
