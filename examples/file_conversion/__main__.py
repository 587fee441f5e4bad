"""`python -m file_conversion`: serve the service on this machine, on `PORT` (8402) with `WORKERS` (1) processes."""

import os
import sys

import uvicorn

if __name__ == "__main__":
    try:
        port, workers = int(os.environ.get("PORT", "8402")), int(os.environ.get("WORKERS", "1"))
    except ValueError as error:
        sys.exit(f"PORT and WORKERS must be whole numbers: {error}")
    os.environ.setdefault("L402_PROVIDER", "dev:")
    uvicorn.run("file_conversion.app:create_app", factory=True, host="127.0.0.1", port=port, workers=workers)
