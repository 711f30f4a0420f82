"""Reading DICOM to its end, its text, its studies and its previews; hostile files end in `Quarantine`."""
