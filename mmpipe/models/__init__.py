"""Touches weights: language, clip, and the teacher that chats."""
