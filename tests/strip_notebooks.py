"""Take outputs, execution counts and run metadata out of the notebooks; ids and sources stay as they are.

Run by ``make format``. ``tests/unit/test_notebooks_hygiene.py`` holds that it would change nothing.
"""

import json
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "notebooks"


def stripped(text: str) -> str:
    """The notebook as it belongs in git: nbformat 4.5, indent 1, no outputs, a plain kernelspec."""
    notebook = json.loads(text)
    for cell in notebook["cells"]:
        cell["metadata"] = {"tags": cell["metadata"]["tags"]} if cell["metadata"].get("tags") else {}
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [], None
        if isinstance(cell["source"], str):
            cell["source"] = cell["source"].splitlines(keepends=True)
    notebook["metadata"] = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for path in sorted(FOLDER.rglob("*.ipynb")):
        before = path.read_text(encoding="utf-8")
        if (after := stripped(before)) != before:
            path.write_text(after, encoding="utf-8")
            print(f"stripped {path}")
