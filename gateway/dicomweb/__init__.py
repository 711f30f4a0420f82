"""DICOMweb (PS3.18) for partners: searching and retrieving the de-identified instances of their own cases."""
