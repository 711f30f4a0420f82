"""DICOMweb (PS3.18): partners search and retrieve the de-identified instances of their cases; clinics store theirs."""
