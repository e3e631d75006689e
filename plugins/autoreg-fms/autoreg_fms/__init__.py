"""The Hugging Face adapters of IBM's Foundation Model Stack, declared to autoreg; there is no model code here."""
