"""Chronos-Bolt and Chronos-2 of the package chronos-forecasting, declared to autoreg; there is no model code here."""
