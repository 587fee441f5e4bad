"""The adapters: one scenario application in every framework, in process and on real servers."""
