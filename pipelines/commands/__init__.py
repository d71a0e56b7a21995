"""One command a file: its docstring is its help, `add_arguments` adds its flags, `run` returns the exit code."""
