"""Lists the rules of the image lane, one readable table per paper, with the paper's own limits and boundaries."""

from __future__ import annotations

from mmpipe.filtering.rules import Rule, index_rules
from mmpipe.filtering.rules_cogvlm import COGVLM
from mmpipe.filtering.rules_coyo import COYO_700M
from mmpipe.filtering.rules_stable_diffusion import STABLE_DIFFUSION_1, STABLE_DIFFUSION_2

#: Signals of the recipe's `images.scores` to the score that must be asked for where a rule limits them.
IMAGE_SCORE_COLUMNS = {
    "aesthetic_score": "aesthetic",
    "watermark_score": "watermark",
    "nsfw_score": "nsfw",
    "q16_score": "q16",
    "toxic_text_excess": "toxic_texts",
}

_LAION = "LAION-400M (Schuhmann et al. 2021, arXiv 2111.02114), §2.2; removed is what is less, equal values are kept"
_DATACOMP = "DataComp (Gadre et al. 2023, arXiv 2304.14108), §3.3, basic filtering; "
_LAION_5B = "LAION-5B (Schuhmann et al. 2022, arXiv 2210.08402), English part, ViT-B/32; equal values are kept"
_MMC4 = "MMC4 (Zhu et al. 2023, arXiv 2304.06939), §2; equal values are kept; CLIP is ViT-L/14"
_OBELICS = "OBELICS (Laurençon et al. 2023, arXiv 2306.16527), Appendix A.1.3 and A.2; equal values are kept"
_AESTHETIC = "LAION-Aesthetics V1, README: aesthetic score above 7, watermark below 0.8, unsafe below 0.5"
_CURATOR = "NeMo Curator, stages/interleaved/filter: variance of the Laplacian below 100, QR codes on 5 % or more"
_CLEANVISION = "CleanVision, default thresholds: "

LAION_400M = (
    Rule(name="laion_image_bytes", signal="image_bytes", low=5_000, source=_LAION),
    Rule(name="laion_caption_chars", signal="caption_chars", low=5, source=_LAION),
    Rule(name="laion_clip_similarity", signal="clip_similarity", low=0.3, source=_LAION),
)

LAION_5B = (
    Rule(name="laion5b_caption_language", signal="caption_language", allowed=("en",), source=_LAION_5B + "; cld3"),
    Rule(name="laion5b_clip_similarity", signal="clip_similarity", low=0.28, source=_LAION_5B),
)

LAION_SUBSETS = (
    Rule(name="laion_aesthetic_score", signal="aesthetic_score", low=7, low_is_kept=False, source=_AESTHETIC),
    Rule(name="laion_watermark_score", signal="watermark_score", high=0.8, high_is_kept=False, source=_AESTHETIC),
    Rule(name="laion_nsfw_score", signal="nsfw_score", high=0.5, high_is_kept=False, source=_AESTHETIC),
    Rule(
        name="laion_image_min_side",
        signal="image_min_side",
        low=1024,
        source="LAION high-resolution, dataset card: 1024x1024 and more",
    ),
    Rule(
        name="laion_q16_score",
        signal="q16_score",
        high=0.5,
        source="Q16 (Schramowski et al. 2022, arXiv 2202.06675): the nearer of two prompts decides, as in LAION-5B",
    ),
    Rule(
        name="laion_toxic_text_excess",
        signal="toxic_text_excess",
        high=0,
        source="CLIP-based-NSFW-Detector, safety_settings: a limit for each text, which a cosine must not pass",
    ),
)

DATACOMP_BASIC = (
    Rule(
        name="datacomp_image_min_side",
        signal="image_min_side",
        low=200,
        source=_DATACOMP + "shorter side of 200 and more is kept",
    ),
    Rule(
        name="datacomp_image_aspect_ratio",
        signal="image_aspect_ratio",
        high=3.0,
        source=_DATACOMP + "longer by shorter side of 3 and less is kept",
    ),
    Rule(
        name="datacomp_caption_words",
        signal="caption_words",
        low=2,
        low_is_kept=False,
        source=_DATACOMP + "more than 2 words; here by Unicode's word boundaries, so that any script has words",
    ),
    Rule(
        name="datacomp_caption_space_words",
        signal="caption_space_words",
        low=2,
        low_is_kept=False,
        source=_DATACOMP + "more than 2 words, which white space divides",
    ),
    Rule(
        name="datacomp_caption_chars",
        signal="caption_chars",
        low=5,
        low_is_kept=False,
        source=_DATACOMP + "more than 5 characters",
    ),
    Rule(
        name="datacomp_caption_language",
        signal="caption_language",
        allowed=("en",),
        source=_DATACOMP + "English by fastText's lid.176",
    ),
)

DATACOMP_CLIP = (
    Rule(
        name="datacomp_clip_similarity_rank",
        signal="clip_similarity_rank",
        high=0.3,
        high_is_kept=False,
        source="DataComp, §3.3, CLIP score (L/14 30 %): fewer than 30 % of the pool are more similar. Pairs as similar "
        "as the last one kept stay too; without such ties exactly the best 30 % stay (rounded up)",
    ),
    Rule(
        name="datacomp_laion2b_clip_similarity",
        signal="clip_similarity",
        low=0.28,
        source="DataComp, §3.3, LAION-2B filtering: ViT-B/32 similarity of 0.28 and more, English by cld3",
    ),
)

MMC4 = (
    Rule(name="mmc4_image_min_side", signal="image_min_side", low=150, source=_MMC4),
    Rule(name="mmc4_image_aspect_ratio", signal="image_aspect_ratio", high=2.0, source=_MMC4),
    Rule(name="mmc4_clip_similarity", signal="clip_similarity", low=0.15, source=_MMC4),
    Rule(name="mmc4_image_format", signal="image_format", allowed=("jpeg", "png"), source=_MMC4 + "; png, jpeg, jpg"),
    Rule(
        name="mmc4_image_url_furniture_substrings",
        signal="image_url_furniture_substrings",
        high=0,
        source=_MMC4 + "; logo, button, icon, plugin, widget anywhere in the URL",
        dialect="substrings",
    ),
    Rule(
        name="mmc4_nsfw_score",
        signal="nsfw_score",
        high=0.1,
        source=_MMC4 + "; an MLP on CLIP ViT-L/14, 97.4 % right by its authors: here the classifier of the run",
    ),
)

OBELICS = (
    Rule(
        name="obelics_image_format",
        signal="image_format",
        allowed=("jpeg", "png", "webp"),
        source=_OBELICS + "; jpg, jpeg, png, webp",
    ),
    Rule(name="obelics_image_width", signal="image_width", low=150, high=20_000, source=_OBELICS),
    Rule(name="obelics_image_height", signal="image_height", low=150, high=20_000, source=_OBELICS),
    Rule(name="obelics_image_shown_width", signal="image_shown_width", low=150, high=20_000, source=_OBELICS),
    Rule(name="obelics_image_shown_height", signal="image_shown_height", low=150, high=20_000, source=_OBELICS),
    Rule(
        name="obelics_image_width_to_height",
        signal="image_width_to_height",
        low=0.5,
        high=2.0,
        source=_OBELICS + "; width by height of 1/2 to 2",
    ),
    Rule(
        name="obelics_image_url_furniture_substrings",
        signal="image_url_furniture_substrings",
        high=0,
        source=_OBELICS + "; logo, button, icon, plugin, widget anywhere in the URL",
        dialect="substrings",
    ),
    Rule(
        name="obelics_image_url_adult_substrings",
        signal="image_url_adult_substrings",
        high=0,
        source=_OBELICS + "; porn, xxx, sex anywhere in the URL",
        dialect="substrings",
    ),
    Rule(
        name="obelics_image_url_documents",
        signal="image_url_documents",
        high=10,
        source=_OBELICS + "; images of a URL that comes more than 10 times are removed, once a document counted",
    ),
    Rule(
        name="obelics_nsfw_score",
        signal="nsfw_score",
        high=0.85,
        source=_OBELICS + "; GantMan's porn class, 0.85 (hentai 0.9): here the classifier of the run",
    ),
)

PIXELS = (
    Rule(name="curator_image_blur_variance", signal="image_blur_variance", low=100, source=_CURATOR),
    Rule(
        name="curator_image_qr_area_ratio",
        signal="image_qr_area_ratio",
        high=0.05,
        high_is_kept=False,
        source=_CURATOR,
    ),
    Rule(
        name="cleanvision_image_brightness_p99",
        signal="image_brightness_p99",
        low=0.32,
        source=_CLEANVISION + "dark below 0.32 at the 99th percentile of brightness",
    ),
    Rule(
        name="cleanvision_image_entropy",
        signal="image_entropy",
        low=3.0,
        source=_CLEANVISION + "low information below 0.3 times 10 bits of entropy",
    ),
    Rule(
        name="mmpipe_image_single_colour_ratio",
        signal="image_single_colour_ratio",
        high=0.98,
        source="mmpipe: pictures of one colour but for 2 % show nothing; no paper's limit",
    ),
    Rule(
        name="mmpipe_image_frames",
        signal="image_frames",
        high=1,
        source="mmpipe: one frame of an animation is not what its caption describes; no paper's limit",
    ),
    Rule(
        name="mmpipe_image_url_words",
        signal="image_url_words",
        high=0,
        source="mmpipe: MMC4's and OBELICS' words, as tokens, so that Essex and a semiconductor stay",
        dialect="tokens",
    ),
)

IMAGE_RULES = index_rules(
    LAION_400M,
    LAION_5B,
    LAION_SUBSETS,
    DATACOMP_BASIC,
    DATACOMP_CLIP,
    COYO_700M,
    MMC4,
    OBELICS,
    COGVLM,
    STABLE_DIFFUSION_1,
    STABLE_DIFFUSION_2,
    PIXELS,
)
