import pipeline.models  # noqa: F401  # first, so that timm can be imported beside any torchvision
