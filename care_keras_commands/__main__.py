"""`python -P -m care_keras_commands MODULE ...`: what a console command starts processes with."""

import sys

from care_keras_commands.launch import launch

if __name__ == "__main__":
    launch(sys.argv.pop(1))
