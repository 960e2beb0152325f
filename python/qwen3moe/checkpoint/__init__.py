"""HuggingFace checkpoints: what a folder of safetensors, config and tokenizer says, in the terms of GGUF."""
