"""A model's files, from its name to its facts, without loading a weight.

Each file imports those before it alone: `cache`, `hashing`, `links`, `snapshots` (files as such);
`config`, `weights`, `files` (what is in a model's folder); `adapter`, `folder` (which files belong
together, hashed and shown to loaders); `tokenizer`, `facts` (what they say).
"""
