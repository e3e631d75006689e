"""GLiClass of the package gliclass, declared to autoreg; there is no model code here."""
