//! The cluster and its API.

codes! {
    UNREACHABLE = 601, "the cluster does not answer";
    NO_KUBECONFIG = 602, "no way to a cluster was found";
    NO_CONTEXT = 603, "no such context in the kubeconfig";
    CERTIFICATE = 604, "the server's certificate is not trusted";
    UNAUTHORISED = 605, "the server does not accept these credentials";
    FORBIDDEN = 606, "these credentials lack a right";
    TOO_OLD = 607, "the server's version is too old";
    UNAVAILABLE = 608, "the server keeps failing";
    BAD_ANSWER = 609, "the server's answer makes no sense";
    REFUSED_REQUEST = 610, "the server refused a request";
    PARTIAL_DISCOVERY = 611, "a part of the API is down";
    WEBHOOK_DOWN = 612, "a webhook that blocks writes is down";
    UNTESTED = 613, "the server is newer than what was tested";
}
