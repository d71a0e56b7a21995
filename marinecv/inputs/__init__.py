"""How images become tensors: geometry, decoding, fitting, augmentation, pipelines."""
