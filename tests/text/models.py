"""The small model's file with other metadata."""

import numpy as np
from gguf import GGUFReader, GGUFValueType, GGUFWriter


def rewrite(path, out, change):
    """A copy of a file with the metadata that `change` makes of its own; None takes a key away."""
    reader = GGUFReader(path)
    writer = GGUFWriter(out, "qwen3moe")
    for key, field in reader.fields.items():
        if key.startswith("GGUF.") or key == "general.architecture":
            continue
        value = change(key, field.contents())
        if value is None:
            continue
        kinds = [GGUFValueType(kind) for kind in field.types]
        writer.add_key_value(key, value, kinds[0], *kinds[1:2])
    for tensor in reader.tensors:
        data = np.array(tensor.data)
        writer.add_tensor(tensor.name, data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return out


def without_vocabulary(path, out):
    return rewrite(path, out, lambda key, value: None if key.startswith("tokenizer.") else value)


def spoilt_vocabulary(path, out):
    return rewrite(path, out, lambda key, value: "nobody's" if key == "tokenizer.ggml.pre" else value)
