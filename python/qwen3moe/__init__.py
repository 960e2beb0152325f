"""Qwen3-MoE logits from GGUF files, the same bits on every device."""
