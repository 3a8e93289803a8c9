"""A sink in thirty lines: a mail for each scan. ``python mail_sink.py run export.yaml`` knows ``type: mail``."""

import smtplib
from email.message import EmailMessage

import anyio.to_thread

from scribe_export.cli import main
from scribe_export.errors import Rejected, Transient
from scribe_export.interface import Sink
from scribe_export.model import Encoded, Record
from scribe_export.options import SinkOptions
from scribe_export.registry import register_sink


class MailOptions(SinkOptions):
    host: str
    port: int = 25
    to: str


class MailSink(Sink):
    options_type = MailOptions
    options: MailOptions

    async def write(self, encoded: Encoded) -> str:
        """One record a batch, as `limits` has it by default: returning means that the mail server has it."""
        return await anyio.to_thread.run_sync(self._send, encoded.batch.records[0])

    def _send(self, record: Record) -> str:
        mail = EmailMessage()
        mail["To"], mail["From"] = self.options.to, self.options.to
        mail["Subject"] = f"Scan {record.scan_id}: {record.fields.material or 'unknown'}"
        mail["Message-ID"] = f"<{record.sha256}@scribe>"
        mail.add_attachment(record.body, maintype="application", subtype="json", filename="scan.json")
        try:
            with smtplib.SMTP(self.options.host, self.options.port, timeout=self.options.timeout) as server:
                server.send_message(mail)
        except smtplib.SMTPRecipientsRefused as error:
            raise Rejected(str(error)) from error
        except (OSError, smtplib.SMTPException) as error:
            raise Transient(str(error)) from error
        return str(mail["Message-ID"])


if __name__ == "__main__":
    register_sink("mail", MailSink)
    main()
