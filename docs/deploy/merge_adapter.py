"""Merge a checkpoint of a LoRA training into its model: python merge_adapter.py CHECKPOINT OUT."""

import sys

from peft import AutoPeftModelForCausalLM
from transformers import AutoTokenizer

checkpoint, out = sys.argv[1:]
adapted = AutoPeftModelForCausalLM.from_pretrained(checkpoint, dtype="auto")
adapted.merge_and_unload().save_pretrained(out)
AutoTokenizer.from_pretrained(checkpoint).save_pretrained(out)
