"""The tests that docs/testing.md shows are run here, as they stand."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "testing.md"

for block in re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL):
    if "def test_" in block:
        exec(compile(block, str(PAGE), "exec"))
