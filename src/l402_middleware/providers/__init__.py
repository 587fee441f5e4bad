"""Where invoices come from: one file per Lightning backend."""
