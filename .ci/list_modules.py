"""Print every file of the package, as the wheel has to contain it."""

from pathlib import Path

for path in sorted(Path("django_polar").rglob("*")):
    if path.is_file() and "__pycache__" not in path.parts:
        print(path)
