"""De-identification of DICOM by PS3.15 and the independent second pass over what would leave the region."""
