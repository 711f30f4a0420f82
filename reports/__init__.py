"""The forms a signed report takes: PDF and FHIR; values in, bytes out."""
