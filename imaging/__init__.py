"""The image library: kinds, checks, de-identification and previews of DICOM and slides; paths or bytes in, results out."""
