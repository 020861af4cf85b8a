"""Object identifiers by their standard names, and the names that people know them by.

Each group names its source. Constants only: whoever needs another one appends it to its group.
"""

from __future__ import annotations

__all__ = ["describe"]

# --- CMS content types (RFC 5652 §4 to §6, §14) ----------------------------------------------------------------------
ID_DATA = "1.2.840.113549.1.7.1"
ID_SIGNED_DATA = "1.2.840.113549.1.7.2"
ID_ENVELOPED_DATA = "1.2.840.113549.1.7.3"
ID_AUTH_ENVELOPED_DATA = "1.2.840.113549.1.9.16.1.23"  # RFC 5083

# --- CMS signed attributes (RFC 5652 §11) ----------------------------------------------------------------------------
CONTENT_TYPE = "1.2.840.113549.1.9.3"
MESSAGE_DIGEST = "1.2.840.113549.1.9.4"
SIGNING_TIME = "1.2.840.113549.1.9.5"

# --- SCEP attributes (RFC 8894 §3.2.1) -------------------------------------------------------------------------------
MESSAGE_TYPE = "2.16.840.1.113733.1.9.2"
PKI_STATUS = "2.16.840.1.113733.1.9.3"
FAIL_INFO = "2.16.840.1.113733.1.9.4"
SENDER_NONCE = "2.16.840.1.113733.1.9.5"
RECIPIENT_NONCE = "2.16.840.1.113733.1.9.6"
TRANSACTION_ID = "2.16.840.1.113733.1.9.7"
FAIL_INFO_TEXT = "1.3.6.1.5.5.7.24.1"

# --- PKCS #9 attributes of a PKCS #10 request (RFC 2985 §5.4, §5.5) --------------------------------------------------
UNSTRUCTURED_NAME = "1.2.840.113549.1.9.2"
CHALLENGE_PASSWORD = "1.2.840.113549.1.9.7"  # noqa: S105 - an identifier, not a password
EXTENSION_REQUEST = "1.2.840.113549.1.9.14"
FRIENDLY_NAME = "1.2.840.113549.1.9.20"
MICROSOFT_EXTENSION_REQUEST = "1.3.6.1.4.1.311.2.1.14"  # szOID_CERT_EXTENSIONS, [MS-WCCE] §2.2.2.7.7

# --- digests (RFC 5754 §2, RFC 3370 §2, RFC 8702 §2 not used) --------------------------------------------------------
MD5 = "1.2.840.113549.2.5"
SHA1 = "1.3.14.3.2.26"
SHA224 = "2.16.840.1.101.3.4.2.4"
SHA256 = "2.16.840.1.101.3.4.2.1"
SHA384 = "2.16.840.1.101.3.4.2.2"
SHA512 = "2.16.840.1.101.3.4.2.3"

# --- RSA (RFC 8017 appendix C) ---------------------------------------------------------------------------------------
RSA_ENCRYPTION = "1.2.840.113549.1.1.1"
MD5_WITH_RSA = "1.2.840.113549.1.1.4"
SHA1_WITH_RSA = "1.2.840.113549.1.1.5"
RSAES_OAEP = "1.2.840.113549.1.1.7"
MGF1 = "1.2.840.113549.1.1.8"
P_SPECIFIED = "1.2.840.113549.1.1.9"
RSASSA_PSS = "1.2.840.113549.1.1.10"
SHA256_WITH_RSA = "1.2.840.113549.1.1.11"
SHA384_WITH_RSA = "1.2.840.113549.1.1.12"
SHA512_WITH_RSA = "1.2.840.113549.1.1.13"

# --- elliptic curves (RFC 5480 §2.1, RFC 5758 §3.2, RFC 8410 §3) -----------------------------------------------------
EC_PUBLIC_KEY = "1.2.840.10045.2.1"
SECP256R1 = "1.2.840.10045.3.1.7"
SECP384R1 = "1.3.132.0.34"
SECP521R1 = "1.3.132.0.35"
ECDSA_WITH_SHA1 = "1.2.840.10045.4.1"
ECDSA_WITH_SHA256 = "1.2.840.10045.4.3.2"
ECDSA_WITH_SHA384 = "1.2.840.10045.4.3.3"
ECDSA_WITH_SHA512 = "1.2.840.10045.4.3.4"
ED25519 = "1.3.101.112"

# --- lattices (RFC 9881 §2) -------------------------------------------------------------------------------------------
ML_DSA_44 = "2.16.840.1.101.3.4.3.17"
ML_DSA_65 = "2.16.840.1.101.3.4.3.18"
ML_DSA_87 = "2.16.840.1.101.3.4.3.19"

# --- passwords (RFC 8018 appendix C, RFC 5652 §6.2.4, RFC 3211 §2.4) --------------------------------------------------
PBKDF2 = "1.2.840.113549.1.5.12"
HMAC_WITH_SHA1 = "1.2.840.113549.2.7"
HMAC_WITH_SHA256 = "1.2.840.113549.2.9"
HMAC_WITH_SHA384 = "1.2.840.113549.2.10"
HMAC_WITH_SHA512 = "1.2.840.113549.2.11"
PWRI_KEK = "1.2.840.113549.1.9.16.3.9"

# --- content ciphers (RFC 3565 §4.1, RFC 3370 §5, RFC 5084 §3) -------------------------------------------------------
AES128_CBC = "2.16.840.1.101.3.4.1.2"
AES192_CBC = "2.16.840.1.101.3.4.1.22"
AES256_CBC = "2.16.840.1.101.3.4.1.42"
AES128_GCM = "2.16.840.1.101.3.4.1.6"
AES256_GCM = "2.16.840.1.101.3.4.1.46"
DES_CBC = "1.3.14.3.2.7"
DES_EDE3_CBC = "1.2.840.113549.3.7"
RC2_CBC = "1.2.840.113549.3.2"

# --- attribute types of a Name (X.520, RFC 4519, RFC 2985) -----------------------------------------------------------
AT_COMMON_NAME = "2.5.4.3"
AT_SURNAME = "2.5.4.4"
AT_SERIAL_NUMBER = "2.5.4.5"
AT_COUNTRY_NAME = "2.5.4.6"
AT_LOCALITY_NAME = "2.5.4.7"
AT_STATE_OR_PROVINCE_NAME = "2.5.4.8"
AT_STREET_ADDRESS = "2.5.4.9"
AT_ORGANIZATION_NAME = "2.5.4.10"
AT_ORGANIZATIONAL_UNIT_NAME = "2.5.4.11"
AT_TITLE = "2.5.4.12"
AT_GIVEN_NAME = "2.5.4.42"
AT_DN_QUALIFIER = "2.5.4.46"
AT_USER_ID = "0.9.2342.19200300.100.1.1"
AT_DOMAIN_COMPONENT = "0.9.2342.19200300.100.1.25"
AT_EMAIL_ADDRESS = "1.2.840.113549.1.9.1"

# --- certificate and CRL extensions (RFC 5280 §4.2, §5.2) ------------------------------------------------------------
CE_SUBJECT_KEY_IDENTIFIER = "2.5.29.14"
CE_KEY_USAGE = "2.5.29.15"
CE_SUBJECT_ALT_NAME = "2.5.29.17"
CE_BASIC_CONSTRAINTS = "2.5.29.19"
CE_CRL_NUMBER = "2.5.29.20"
CE_CRL_REASON = "2.5.29.21"
CE_DELTA_CRL_INDICATOR = "2.5.29.27"
CE_ISSUING_DISTRIBUTION_POINT = "2.5.29.28"
CE_NAME_CONSTRAINTS = "2.5.29.30"
CE_CRL_DISTRIBUTION_POINTS = "2.5.29.31"
CE_CERTIFICATE_POLICIES = "2.5.29.32"
CE_POLICY_MAPPINGS = "2.5.29.33"
CE_AUTHORITY_KEY_IDENTIFIER = "2.5.29.35"
CE_POLICY_CONSTRAINTS = "2.5.29.36"
CE_EXT_KEY_USAGE = "2.5.29.37"
CE_FRESHEST_CRL = "2.5.29.46"
CE_INHIBIT_ANY_POLICY = "2.5.29.54"
PE_AUTHORITY_INFO_ACCESS = "1.3.6.1.5.5.7.1.1"
PE_SUBJECT_INFO_ACCESS = "1.3.6.1.5.5.7.1.11"
CT_POISON = "1.3.6.1.4.1.11129.2.4.3"  # RFC 6962 §3.1

# --- Microsoft's extensions ([MS-WCCE] §2.2.2.7, KB5014754) ----------------------------------------------------------
MS_CERTIFICATE_TEMPLATE_NAME = "1.3.6.1.4.1.311.20.2"
MS_CERTIFICATE_TEMPLATE = "1.3.6.1.4.1.311.21.7"
MS_APPLICATION_POLICIES = "1.3.6.1.4.1.311.21.10"
MS_NTDS_CA_SECURITY = "1.3.6.1.4.1.311.25.2"
MS_NTDS_OBJECT_SID = "1.3.6.1.4.1.311.25.2.1"

# --- other names (RFC 4043 §2, RFC 4108 §5, [MS-WCCE]) ----------------------------------------------------------------
ON_PERMANENT_IDENTIFIER = "1.3.6.1.5.5.7.8.3"
ON_HARDWARE_MODULE_NAME = "1.3.6.1.5.5.7.8.4"
ON_MS_UPN = "1.3.6.1.4.1.311.20.2.3"

# --- access methods and OCSP (RFC 5280 §4.2.2.1, RFC 6960 §4) --------------------------------------------------------
AD_OCSP = "1.3.6.1.5.5.7.48.1"
AD_CA_ISSUERS = "1.3.6.1.5.5.7.48.2"
PKIX_OCSP_BASIC = "1.3.6.1.5.5.7.48.1.1"
PKIX_OCSP_NONCE = "1.3.6.1.5.5.7.48.1.2"
PKIX_OCSP_NOCHECK = "1.3.6.1.5.5.7.48.1.5"

# --- extended key purposes (RFC 5280 §4.2.1.12, RFC 6960 §4.2.2.2, RFC 4334 §2, Microsoft) ---------------------------
KP_SERVER_AUTH = "1.3.6.1.5.5.7.3.1"
KP_CLIENT_AUTH = "1.3.6.1.5.5.7.3.2"
KP_CODE_SIGNING = "1.3.6.1.5.5.7.3.3"
KP_EMAIL_PROTECTION = "1.3.6.1.5.5.7.3.4"
KP_OCSP_SIGNING = "1.3.6.1.5.5.7.3.9"
KP_EAP_OVER_LAN = "1.3.6.1.5.5.7.3.14"
KP_MS_ENROLMENT_AGENT = "1.3.6.1.4.1.311.20.2.1"
KP_MS_SMARTCARD_LOGON = "1.3.6.1.4.1.311.20.2.2"
KP_TIME_STAMPING = "1.3.6.1.5.5.7.3.8"
KP_IPSEC_IKE = "1.3.6.1.5.5.7.3.17"  # RFC 4945 §5.1.3.12
KP_DOCUMENT_SIGNING = "1.3.6.1.5.5.7.3.36"  # RFC 9336
KP_PKINIT_CLIENT = "1.3.6.1.5.2.3.4"  # RFC 4556 §3.2.2
KP_PKINIT_KDC = "1.3.6.1.5.2.3.5"
KP_MS_CTL_SIGNING = "1.3.6.1.4.1.311.10.3.1"
KP_MS_EFS_RECOVERY = "1.3.6.1.4.1.311.10.3.4.1"
KP_MS_ROOT_LIST_SIGNER = "1.3.6.1.4.1.311.10.3.9"
KP_MS_QUALIFIED_SUBORDINATION = "1.3.6.1.4.1.311.10.3.10"
KP_MS_KEY_RECOVERY = "1.3.6.1.4.1.311.10.3.11"
KP_MS_KEY_RECOVERY_AGENT = "1.3.6.1.4.1.311.21.6"
KP_MS_CA_EXCHANGE = "1.3.6.1.4.1.311.21.5"
KP_MS_KERNEL_CODE = "1.3.6.1.4.1.311.61.1.1"
ANY_EXTENDED_KEY_USAGE = "2.5.29.37.0"

_KNOWN_AS = {
    ID_DATA: "id-data",
    ID_SIGNED_DATA: "id-signedData",
    ID_ENVELOPED_DATA: "id-envelopedData",
    ID_AUTH_ENVELOPED_DATA: "id-ct-authEnvelopedData",
    CONTENT_TYPE: "contentType",
    MESSAGE_DIGEST: "messageDigest",
    SIGNING_TIME: "signingTime",
    MESSAGE_TYPE: "messageType",
    PKI_STATUS: "pkiStatus",
    FAIL_INFO: "failInfo",
    SENDER_NONCE: "senderNonce",
    RECIPIENT_NONCE: "recipientNonce",
    TRANSACTION_ID: "transactionID",
    FAIL_INFO_TEXT: "failInfoText",
    UNSTRUCTURED_NAME: "unstructuredName",
    CHALLENGE_PASSWORD: "challengePassword",
    EXTENSION_REQUEST: "extensionRequest",
    FRIENDLY_NAME: "friendlyName",
    MICROSOFT_EXTENSION_REQUEST: "Microsoft extensionRequest",
    MD5: "MD5",
    SHA1: "SHA-1",
    SHA224: "SHA-224",
    SHA256: "SHA-256",
    SHA384: "SHA-384",
    SHA512: "SHA-512",
    RSA_ENCRYPTION: "rsaEncryption",
    MD5_WITH_RSA: "md5WithRSAEncryption",
    SHA1_WITH_RSA: "sha1WithRSAEncryption",
    RSAES_OAEP: "RSAES-OAEP",
    MGF1: "MGF1",
    P_SPECIFIED: "pSpecified",
    RSASSA_PSS: "RSASSA-PSS",
    SHA256_WITH_RSA: "sha256WithRSAEncryption",
    SHA384_WITH_RSA: "sha384WithRSAEncryption",
    SHA512_WITH_RSA: "sha512WithRSAEncryption",
    EC_PUBLIC_KEY: "ecPublicKey",
    SECP256R1: "P-256",
    SECP384R1: "P-384",
    SECP521R1: "P-521",
    ECDSA_WITH_SHA1: "ecdsa-with-SHA1",
    ECDSA_WITH_SHA256: "ecdsa-with-SHA256",
    ECDSA_WITH_SHA384: "ecdsa-with-SHA384",
    ECDSA_WITH_SHA512: "ecdsa-with-SHA512",
    ED25519: "Ed25519",
    ML_DSA_44: "ML-DSA-44",
    ML_DSA_65: "ML-DSA-65",
    ML_DSA_87: "ML-DSA-87",
    PBKDF2: "PBKDF2",
    HMAC_WITH_SHA1: "hmacWithSHA1",
    HMAC_WITH_SHA256: "hmacWithSHA256",
    HMAC_WITH_SHA384: "hmacWithSHA384",
    HMAC_WITH_SHA512: "hmacWithSHA512",
    PWRI_KEK: "PWRI-KEK",
    AES128_CBC: "AES-128-CBC",
    AES192_CBC: "AES-192-CBC",
    AES256_CBC: "AES-256-CBC",
    AES128_GCM: "AES-128-GCM",
    AES256_GCM: "AES-256-GCM",
    DES_CBC: "DES-CBC",
    DES_EDE3_CBC: "DES-EDE3-CBC (triple DES)",
    RC2_CBC: "RC2-CBC",
    AT_COMMON_NAME: "CN",
    AT_SURNAME: "SN",
    AT_SERIAL_NUMBER: "serialNumber",
    AT_COUNTRY_NAME: "C",
    AT_LOCALITY_NAME: "L",
    AT_STATE_OR_PROVINCE_NAME: "ST",
    AT_STREET_ADDRESS: "STREET",
    AT_ORGANIZATION_NAME: "O",
    AT_ORGANIZATIONAL_UNIT_NAME: "OU",
    AT_TITLE: "title",
    AT_GIVEN_NAME: "GN",
    AT_DN_QUALIFIER: "dnQualifier",
    AT_USER_ID: "UID",
    AT_DOMAIN_COMPONENT: "DC",
    AT_EMAIL_ADDRESS: "emailAddress",
    CE_SUBJECT_KEY_IDENTIFIER: "subjectKeyIdentifier",
    CE_KEY_USAGE: "keyUsage",
    CE_SUBJECT_ALT_NAME: "subjectAltName",
    CE_BASIC_CONSTRAINTS: "basicConstraints",
    CE_NAME_CONSTRAINTS: "nameConstraints",
    CE_CRL_DISTRIBUTION_POINTS: "cRLDistributionPoints",
    CE_AUTHORITY_KEY_IDENTIFIER: "authorityKeyIdentifier",
    CE_EXT_KEY_USAGE: "extKeyUsage",
    PE_AUTHORITY_INFO_ACCESS: "authorityInfoAccess",
    PE_SUBJECT_INFO_ACCESS: "subjectInfoAccess",
    CE_CERTIFICATE_POLICIES: "certificatePolicies",
    CE_POLICY_MAPPINGS: "policyMappings",
    CE_POLICY_CONSTRAINTS: "policyConstraints",
    CE_FRESHEST_CRL: "freshestCRL",
    CE_INHIBIT_ANY_POLICY: "inhibitAnyPolicy",
    PKIX_OCSP_NOCHECK: "ocsp-nocheck",
    CT_POISON: "certificate transparency poison",
    MS_CERTIFICATE_TEMPLATE_NAME: "Microsoft certificate template name",
    MS_CERTIFICATE_TEMPLATE: "Microsoft certificate template",
    MS_APPLICATION_POLICIES: "Microsoft application policies",
    MS_NTDS_CA_SECURITY: "Microsoft SID",
    KP_SERVER_AUTH: "serverAuth",
    KP_CLIENT_AUTH: "clientAuth",
    KP_CODE_SIGNING: "codeSigning",
    KP_EMAIL_PROTECTION: "emailProtection",
    KP_OCSP_SIGNING: "OCSPSigning",
    KP_EAP_OVER_LAN: "eapOverLAN",
    KP_MS_ENROLMENT_AGENT: "Microsoft enrolment agent",
    KP_MS_SMARTCARD_LOGON: "msSmartcardLogon",
    KP_TIME_STAMPING: "timeStamping",
    KP_IPSEC_IKE: "ipsecIKE",
    KP_DOCUMENT_SIGNING: "documentSigning",
    KP_PKINIT_CLIENT: "pkinitClient",
    KP_PKINIT_KDC: "pkinitKDC",
    KP_MS_CTL_SIGNING: "Microsoft trust list signing",
    KP_MS_EFS_RECOVERY: "Microsoft file recovery",
    KP_MS_ROOT_LIST_SIGNER: "Microsoft root list signer",
    KP_MS_QUALIFIED_SUBORDINATION: "Microsoft qualified subordination",
    KP_MS_KEY_RECOVERY: "Microsoft key recovery",
    KP_MS_KEY_RECOVERY_AGENT: "Microsoft key recovery agent",
    KP_MS_CA_EXCHANGE: "Microsoft CA exchange",
    KP_MS_KERNEL_CODE: "Microsoft kernel mode code signing",
    ON_PERMANENT_IDENTIFIER: "permanentIdentifier",
    ON_HARDWARE_MODULE_NAME: "hardwareModuleName",
    ON_MS_UPN: "Microsoft UPN",
    ANY_EXTENDED_KEY_USAGE: "anyExtendedKeyUsage",
}


def describe(dotted: str) -> str:
    """Name an object identifier for people; the dotted form where we know no name."""
    return _KNOWN_AS.get(dotted, dotted)
