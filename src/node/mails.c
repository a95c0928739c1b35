#include "node/mails.h"

#include "consensus/batch.h"

void mail_free(struct node_mail *mail) {
    switch (mail->type) {
    case MAIL_COMMANDS:
        writer_free(&mail->commands.bytes);
        break;
    case MAIL_KEEPALIVE:
    case MAIL_KEEPALIVE_ACKED:
        mem_free(mail->keepalive.list);
        break;
    case MAIL_APPLIED:
        mem_free((void *)(uintptr_t)mail->applied.leases);
        mem_free((void *)(uintptr_t)mail->applied.streams);
        break;
    case MAIL_ADMIN:
    case MAIL_ADMIN_DONE:
        mem_free(mail->admin.text);
        break;
    case MAIL_APPLY:
        for (size_t i = 0; i < mail->apply.count; i++) batch_ref_release(&mail->apply.batches[i]);
        mem_free(mail->apply.batches);
        break;
    case MAIL_VIEW:
        mem_free(mail->view);
        break;
    default:
        break;
    }
    mem_free(mail);
}
