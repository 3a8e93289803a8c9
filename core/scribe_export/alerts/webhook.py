"""One POST to the webhook, and what its answer means."""

import ssl
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import anyio
import anyio.to_thread

from scribe_export.alerts.options import WebhookOptions
from scribe_export.causes import causes, system_words
from scribe_export.errors import Misconfigured, SinkError, Throttled, Transient

if TYPE_CHECKING:
    import httpx

_LONGEST_RETRY_AFTER = 3600.0
_CLOSING = 1.0


class Webhook:
    """Takes JSON. Errors name the status and the system's words only: address, headers and answers may hold secrets.

    `folder` is where a relative path of the options starts.
    """

    def __init__(self, options: WebhookOptions, folder: Path) -> None:
        self._options, self._folder = options, folder
        self._url = options.url.reveal()
        self._transport: httpx.AsyncHTTPTransport | None = None
        self.host = urlsplit(self._url).hostname or ""

    async def send(self, body: bytes) -> None:
        """Return when it answered 2xx; raises `Misconfigured` or `Transient`. A redirect is not followed."""
        if self._transport is None:
            # Loading httpx and the public authorities takes longer than the lanes should wait.
            self._transport = await anyio.to_thread.run_sync(self._connections)
        import httpx

        headers = httpx.Headers({"User-Agent": "scribe-export"})
        headers.update({name: value.reveal() for name, value in self._options.headers.items()})
        headers["Content-Type"] = "application/json"
        request = httpx.Request(
            "POST",
            self._url,
            headers=headers,
            content=body,
            extensions={"timeout": httpx.Timeout(self._options.timeout).as_dict()},
        )
        try:
            with anyio.fail_after(self._options.timeout):
                # Not by a client of httpx, which logs the whole address.
                response = await self._transport.handle_async_request(request)
                await response.aclose()
        except (httpx.HTTPError, TimeoutError) as error:
            raise _no_answer(error, self._options.timeout) from None
        if not response.is_success:
            raise _refused(response.status_code, response.headers.get("retry-after", ""))

    async def close(self) -> None:
        """Safe twice, and before anything was sent."""
        transport, self._transport = self._transport, None
        if transport:
            with anyio.move_on_after(_CLOSING, shield=True):
                await transport.aclose()

    def _connections(self) -> "httpx.AsyncHTTPTransport":
        import httpx

        # Alerts are rare: by the next one a connection that was kept would be closed at the other end.
        limits = httpx.Limits(max_keepalive_connections=0)
        return httpx.AsyncHTTPTransport(verify=self._trusted(), trust_env=False, limits=limits, proxy=self._proxy())

    def _proxy(self) -> str | None:
        from urllib.request import getproxies, proxy_bypass

        if not self._options.trust_env or proxy_bypass(self.host):
            return None
        proxies = getproxies()
        return proxies.get(urlsplit(self._url).scheme) or proxies.get("all")

    def _trusted(self) -> ssl.SSLContext | bool:
        ca_file = self._options.tls.ca_file
        if ca_file is None:
            return True
        try:
            return ssl.create_default_context(cafile=str(self._folder / ca_file))
        except OSError as error:
            raise Misconfigured(f"tls.ca_file {ca_file}: {error.strerror or error}") from None


def _no_answer(error: Exception, timeout: float) -> SinkError:
    import httpx

    behind = causes(error)
    for certificate in (cause for cause in behind if isinstance(cause, ssl.SSLCertVerificationError)):
        return Misconfigured(f"certificate not trusted ({certificate.verify_message}); set tls.ca_file")
    if isinstance(error, httpx.TimeoutException | TimeoutError):
        words = f"no answer within {timeout:g} s"
    else:
        words = system_words(behind) or type(error).__name__
    not_sent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.ProxyError)
    return Transient(words, applied="no" if not_sent else "unknown")


def _refused(status: int, retry_after: str) -> SinkError:
    """By https://www.rfc-editor.org/rfc/rfc9110#section-15; what is refused as it is now may be taken later."""
    if 300 <= status < 400:
        return Misconfigured(f"{status}: redirected; set url to the address itself")
    after = min(float(retry_after), _LONGEST_RETRY_AFTER) if retry_after.isdecimal() else None
    if status == 429:
        return Throttled("429: too many requests", retry_after=after, applied="no")
    if status >= 500 or status in {408, 425}:
        return Transient(f"answered {status}", retry_after=after)
    return Misconfigured(f"answered {status}; check url and headers")
