"""Runtimes: what computes the blocks of a packed model, and in which precision."""

from __future__ import annotations

import sys
from typing import Any, cast

# OpenVINO and NNCF report their use to Google Analytics as soon as they are imported, unless this package of
# theirs cannot be: then they do without.
cast(dict[str, Any], sys.modules).setdefault("openvino_telemetry", None)
