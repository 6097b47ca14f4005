"""mmpipe turns crawl dumps into trainer-ready multimodal data, with every row's fate explainable."""

__version__ = "0.1.0"
