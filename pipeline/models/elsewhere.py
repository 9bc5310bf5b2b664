"""Names of models that are not of timm's list. Free of heavy imports."""

HUBS = ("hf-hub:", "hf_hub:")
FOLDER = "local-dir:"


def is_elsewhere(name: str) -> bool:
    """Whether a name is of a repository of the model hub, or of a folder."""
    return name.startswith((*HUBS, FOLDER)) and not name.endswith(":")
