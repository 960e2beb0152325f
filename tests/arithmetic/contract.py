"""contracts/arithmetic-v1.yaml, read once."""

from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
CONTRACT = yaml.safe_load((ROOT / "contracts" / "arithmetic-v1.yaml").read_text())
FUNCTIONS = {f["name"]: f for f in CONTRACT["functions"]}
