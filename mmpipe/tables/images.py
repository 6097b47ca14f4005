"""What a row of the image lane is: an image-text pair, its signals, and the pair that is kept."""

from __future__ import annotations

import polars as pl

from mmpipe.tables.columns import Column, Table

#: Where a pair's image bytes were found.
IMAGE_ORIGINS = ("dump", "cache", "fetched", "inline", "file", "missing")

#: What of a page or a dump names a pair's image: an `<img>`, the `og:image` of its head, or a row of a list.
IMAGE_ELEMENTS = ("img", "og_image", "list_row")

#: What became of the bytes when they were read. All but `ok` and `header_only` are removals of the same name.
#: `header_only` says that the pixels were left alone because a rule on the header takes the pair already.
DECODE_STATUSES = (
    "ok",
    "header_only",
    "missing_image",
    "broken_address",
    "fetch_refused",
    "fetch_failed",
    "empty_image",
    "not_an_image",
    "vector_image",
    "tracking_pixel",
    "oversized_image",
    "truncated_image",
    "undecodable_image",
)

#: Score column of `image_signals` to the column that names the weights behind it.
SCORE_WEIGHTS = {
    "clip_similarity": "clip_weights",
    "aesthetic_score": "aesthetic_weights",
    "watermark_score": "watermark_weights",
    "nsfw_score": "nsfw_weights",
    "q16_score": "q16_weights",
    "toxic_text_excess": "toxic_text_weights",
}

#: Embedding columns of `image_signals`; the weights are those of `clip_weights`.
EMBEDDINGS = ("image_embedding", "caption_embedding")

IMAGE_CANDIDATES = Table(
    name="image_candidates",
    description=(
        "One row per image of a page that has a caption by the recipe's sources, and per captioned row of a list of "
        "pairs, with all texts that may be its caption and where its bytes are."
    ),
    key=("pair_id",),
    columns=(
        Column("pair_id", pl.String, "Stable id of the pair: hash of page (or list and row), image URL and position."),
        Column(
            "doc_id",
            pl.String,
            "Page the image stands on; for a row of a list a hash of dump, list and row.",
            parents=("raw_crawl.doc_id",),
        ),
        Column("dump", pl.String, "Name of the dump.", parents=("raw_crawl.dump",)),
        Column("page_url", pl.String, "URL of the page, if known.", nullable=True, parents=("raw_crawl.url",)),
        Column(
            "image_url",
            pl.String,
            "Absolute URL of the image; data:TYPE;sha256=… for one that the page holds; a path inside the dump for a "
            "file; as the page wrote it where that is no address.",
            parents=("raw_crawl.warc_offset",),
        ),
        Column("image_element", pl.String, f"What names the image: one of {', '.join(IMAGE_ELEMENTS)}."),
        Column(
            "position",
            pl.Int64,
            "Place among the page's <img> elements, from 0 (og_image: after the last); row of the list.",
        ),
        Column("caption", pl.String, "Text of the pair, cut to 5,000 characters.", parents=("raw_crawl.warc_offset",)),
        Column("caption_source", pl.String, "Which text: alt, figcaption, title, surrounding, og_title or given."),
        Column(
            "caption_written_chars",
            pl.Int64,
            "Characters of the caption before it was cut; in a list's row, as the list has it.",
        ),
        Column("alt", pl.String, "Alternative text: alt attribute, or og:image:alt.", nullable=True),
        Column("figcaption", pl.String, "Text of the enclosing figure's figcaption.", nullable=True),
        Column("title", pl.String, "title attribute.", nullable=True),
        Column("surrounding", pl.String, "Nearest block of text, cut to 300 characters.", nullable=True),
        Column("og_title", pl.String, "og:title of the page, for the image that og:image names.", nullable=True),
        Column("rendered_width", pl.Int64, "Pixels in which the page shows the image.", nullable=True),
        Column("rendered_height", pl.Int64, "Pixels in which the page shows the image.", nullable=True),
        Column("source_likes", pl.Float64, "Likes that the source reports.", nullable=True),
        Column("source_shares", pl.Float64, "Shares that the source reports.", nullable=True),
        Column("list_file", pl.String, "Path inside the dump of the list that gives the pair.", nullable=True),
        Column("source_metadata", pl.String, "Other columns of that row, as a JSON object.", nullable=True),
        Column("image_origin", pl.String, f"One of {', '.join(IMAGE_ORIGINS)}."),
        Column("image_detail", pl.String, "Why the bytes are missing.", nullable=True),
        Column(
            "image_doc_id",
            pl.String,
            "Record of the dump that holds the bytes.",
            nullable=True,
            parents=("raw_crawl.doc_id",),
        ),
        Column("image_warc_file", pl.String, "File of that record.", nullable=True, parents=("raw_crawl.warc_file",)),
        Column(
            "image_warc_offset", pl.Int64, "Offset of that record.", nullable=True, parents=("raw_crawl.warc_offset",)
        ),
        Column("image_sha256", pl.String, "SHA-256 of fetched bytes, their name in the image cache.", nullable=True),
        Column(
            "image_inline",
            pl.Binary,
            "The bytes that the page itself holds.",
            nullable=True,
            parents=("raw_crawl.warc_offset",),
        ),
    ),
)


def _signal(name: str, description: str, parent: str = "image_candidates.image_warc_offset") -> Column:
    return Column(name, pl.Float64, description, nullable=True, parents=(parent,))


def _of_caption(name: str, description: str) -> Column:
    return _signal(name, description, "image_candidates.caption")


def _word(name: str, description: str, parent: str = "image_candidates.image_warc_offset") -> Column:
    return Column(name, pl.String, description, nullable=True, parents=(parent,))


_HEADER = (
    _word("image_format", "jpeg, png, webp, gif, … as sniffed from the bytes."),
    _word("image_sha256", "SHA-256 of the bytes."),
    _word("image_md5", "MD5 of the bytes, which lists of evaluation images use."),
    _signal("image_bytes", "Bytes of the file."),
    _signal("image_width", "Pixels, after EXIF orientation."),
    _signal("image_height", "Pixels, after EXIF orientation."),
    _signal("image_min_side", "Shorter side, pixels."),
    _signal("image_max_side", "Longer side, pixels."),
    _signal("image_aspect_ratio", "Longer side divided by shorter side."),
    _signal("image_width_to_height", "Width divided by height."),
    _signal("image_frames", "Frames of an animation; 1 for a still picture."),
    _signal("image_orientation", "EXIF orientation, 1 to 8; 1 where the file tells none."),
)

_PIXELS = (
    _signal("image_brightness", "Mean luma, 0 to 1."),
    _signal("image_brightness_p99", "Luma that 99 in 100 pixels do not exceed, 0 to 1."),
    _signal("image_contrast", "Standard deviation of luma, 0 to 0.5."),
    _signal("image_entropy", "Entropy of the 256 levels of luma, bits, 0 to 8."),
    _signal("image_blur_variance", "Variance of the Laplacian of luma in levels of 0 to 255; low is blurred."),
    _signal("image_single_colour_ratio", "Share of pixels in the commonest colour of 32 levels a channel, 0 to 1."),
    _signal("image_qr_area_ratio", "Share of the picture under QR codes, 0 to 1; null unless codes are looked for."),
    _word("phash", "64-bit perceptual hash, 16 hex digits."),
    _word("phash_orientations", "Hashes of the picture turned as EXIF orientations 1 to 8 say, joined by spaces."),
    _word("phash_trimmed", "Hash of the picture without a border of one colour."),
    _word("phash_algorithm", "Name of the algorithm behind the hashes."),
)

_CAPTIONS = (
    _of_caption("caption_chars", "Characters of the caption."),
    _of_caption("caption_words", "Words of the caption, Unicode word boundaries."),
    _of_caption("caption_space_words", "What white space divides the caption into: DataComp's and COYO's words."),
    _word("caption_language", "Language of the caption, ISO 639 code.", "image_candidates.caption"),
    _of_caption("caption_language_score", "Probability of that language, 0 to 1."),
    _of_caption("caption_repeated_char_ratio", "Share of the most repeated 10-grams of characters (ROOTS), 0 to 1."),
    _of_caption("caption_repeated_word_ratio", "Share of 5-grams of words that occur more than once (ROOTS), 0 to 1."),
    _of_caption("caption_capital_ratio", "Share of letters that are capitals, 0 to 1."),
    _of_caption("caption_alphanumeric_ratio", "Share of characters that are letters or digits, 0 to 1."),
    _of_caption("caption_special_char_ratio", "Share of characters that are signs, digits, spaces or emoji, 0 to 1."),
    _of_caption("caption_stop_word_ratio", "Share of words that are stop words of its language, 0 to 1."),
    _of_caption("caption_flagged_words", "Flagged words of the caption's language and of English."),
    _of_caption("caption_political_words", "Words of political opinion, a heuristic; null unless a list is named."),
    _of_caption("caption_is_file_name", "1 if the caption is a file name, a counter, a hash or a URL, else 0."),
    _of_caption("caption_is_boilerplate", "1 if the caption is a phrase of templates, else 0."),
    _of_caption("caption_has_noun", "1 if an English caption holds a noun, else 0; null in other languages."),
    _signal("image_url_words", "Words of page furniture and adult sites in the picture's URL, as tokens.",
            "image_candidates.image_url"),
    _signal("image_url_furniture_substrings", "Of 5 words of page furniture, those anywhere in the picture's URL.",
            "image_candidates.image_url"),
    _signal("image_url_adult_substrings", "Of 3 words of adult sites, those anywhere in the picture's URL.",
            "image_candidates.image_url"),
)  # fmt: skip

_PAGE = (
    _signal("image_shown_width", "Pixels of width that the page asks for, else the picture's own.",
            "image_candidates.rendered_width"),
    _signal("image_shown_height", "Pixels of height that the page asks for, else the picture's own.",
            "image_candidates.rendered_height"),
    _signal("source_likes", "Likes, where the source counts them.", "image_candidates.source_likes"),
    _signal("source_shares", "Shares, where the source counts them.", "image_candidates.source_shares"),
)  # fmt: skip

_MODELS = (
    _signal("clip_similarity", "Cosine of the CLIP embeddings of picture and caption, -1 to 1."),
    _word("clip_weights", "Digest of the weights behind clip_similarity and the embeddings."),
    _signal("aesthetic_score", "Score of the aesthetic head, about 1 to 10."),
    _word("aesthetic_weights", "Digest of the weights behind aesthetic_score."),
    _signal("watermark_score", "Probability of a watermark, 0 to 1."),
    _word("watermark_weights", "Digest of the weights behind watermark_score."),
    _signal("nsfw_score", "Probability of sexual content, 0 to 1."),
    _word("nsfw_weights", "Digest of the weights behind nsfw_score."),
    _signal("q16_score", "Probability of inappropriate content by the two vectors of Q16, 0 to 1."),
    _word("q16_weights", "Digest of the weights behind q16_score."),
    _signal("toxic_text_excess", "Greatest cosine to a toxic text above that text's limit; 0 or less passes."),
    _word("toxic_text_weights", "Digest of the weights behind toxic_text_excess."),
    Column("image_embedding", pl.Binary, "Embedding of the picture: float16, little endian, of length 1.",
           nullable=True, parents=("image_candidates.image_warc_offset",)),
    Column("caption_embedding", pl.Binary, "Embedding of the caption: float16, little endian, of length 1.",
           nullable=True, parents=("image_candidates.caption",)),
)  # fmt: skip

#: Signals that the first bytes of a file tell, before any pixel is decoded.
HEADER_SIGNALS = tuple(column.name for column in _HEADER)

#: Signals of the caption and the URL, which need no picture.
CAPTION_SIGNALS = tuple(column.name for column in _CAPTIONS)

#: Signals of where the picture stands: what the page or the list says of it.
PAGE_SIGNALS = tuple(column.name for column in _PAGE)

IMAGE_SIGNALS = Table(
    name="image_signals",
    description="One row per row of image_candidates: every measured value of the picture, its caption and their fit.",
    key=("pair_id",),
    columns=(
        Column("pair_id", pl.String, "Id of the pair.", parents=("image_candidates.pair_id",)),
        Column("decode_status", pl.String, f"One of {', '.join(DECODE_STATUSES)}; all but ok and header_only are "
               "removals."),
        Column("decode_detail", pl.String, "What the decoder said, if it failed.", nullable=True),
        *_HEADER,
        *_PIXELS,
        *_CAPTIONS,
        *_PAGE,
        *_MODELS,
    ),
)  # fmt: skip

FILTERED_IMAGE_PAIRS = Table(
    name="filtered_image_pairs",
    description="Image-text pairs that passed every rule of the image recipe; the bytes are read by reference.",
    key=("pair_id",),
    columns=(
        *(column for column in IMAGE_CANDIDATES.columns if column.name not in ("image_detail", "image_sha256")),
        Column("image_sha256", pl.String, "SHA-256 of the bytes.", parents=("image_signals.image_sha256",)),
        Column("image_format", pl.String, "Format of the bytes.", parents=("image_signals.image_format",)),
        Column("image_width", pl.Int64, "Pixels.", parents=("image_signals.image_width",)),
        Column("image_height", pl.Int64, "Pixels.", parents=("image_signals.image_height",)),
        Column("phash", pl.String, "Perceptual hash.", parents=("image_signals.phash",)),
        Column(
            "clip_similarity",
            pl.Float64,
            "CLIP similarity of picture and caption.",
            nullable=True,
            parents=("image_signals.clip_similarity",),
        ),
    ),
)
