"""Encode the prompts' sentences with open_clip: `python -m dp3d_core.prompts`; see `dp3d_core.model.text`."""

from dp3d_core.model.text import main

if __name__ == "__main__":
    raise SystemExit(main())
