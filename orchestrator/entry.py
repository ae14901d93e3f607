"""The first thing that a command imports: which code it is, and that nothing else is taken for it.

From here on the four packages are those beside this file, whatever PYTHONPATH or a working
directory has under their names, and processes that are begun look in no working directory.
"""

import os
import sys

from orchestrator.workers import code

main = getattr(sys.modules.get("__main__"), "__spec__", None)
if main is not None and main.name == f"{__package__}.__main__" and not sys.flags.safe_path:
    del sys.path[0]  # `python -m` puts the working directory first
sys.path[:] = code.path_without_directory()
code.import_from(code.folders_here())
os.environ["PYTHONSAFEPATH"] = "1"
