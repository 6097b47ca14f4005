"""Lists the rules that the model cards of Stable Diffusion 1 and 2 state for their training images."""

from __future__ import annotations

from mmpipe.filtering.rules import Rule

_SD_1 = (
    "Stable Diffusion 1.2-1.4, model card: laion-improved-aesthetics, original size >= 512x512, aesthetics score > "
    "5.0, watermark probability < 0.5"
)
_SD_2 = (
    "Stable Diffusion 2.0, model card: LAION-NSFW classifier with punsafe=0.1 (2.1 goes on with 0.98), aesthetic score "
    ">= 4.5, second phase on images of 512x512 and more"
)

STABLE_DIFFUSION_1 = (
    Rule(name="stable_diffusion_1_image_min_side", signal="image_min_side", low=512, source=_SD_1),
    Rule(
        name="stable_diffusion_1_aesthetic_score",
        signal="aesthetic_score",
        low=5.0,
        low_is_kept=False,
        source=_SD_1,
    ),
    Rule(
        name="stable_diffusion_1_watermark_score",
        signal="watermark_score",
        high=0.5,
        high_is_kept=False,
        source=_SD_1,
    ),
)

STABLE_DIFFUSION_2 = (
    Rule(name="stable_diffusion_2_image_min_side", signal="image_min_side", low=512, source=_SD_2),
    Rule(name="stable_diffusion_2_aesthetic_score", signal="aesthetic_score", low=4.5, source=_SD_2),
    Rule(name="stable_diffusion_2_nsfw_score", signal="nsfw_score", high=0.1, source=_SD_2),
)
