"""The image library: kinds, checks, de-identification and previews of DICOM and slides; no network, no database."""
