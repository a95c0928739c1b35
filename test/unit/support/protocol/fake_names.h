// Every unit test is linked with the whole archive and all of support/, the real node among it. A protocol's test
// therefore compiles its room with these names, so that both stand beside each other.
#pragma once
#define client_write fake_client_write
#define client_output fake_client_output
#define client_output_ready fake_client_output_ready
#define client_output_pending fake_client_output_pending
#define client_close fake_client_close
#define client_pause fake_client_pause
#define client_resume fake_client_resume
#define client_set_context fake_client_set_context
#define client_submit fake_client_submit
#define client_attach fake_client_attach
#define client_session fake_client_session
#define client_attach_number fake_client_attach_number
#define client_touch fake_client_touch
#define client_read_index fake_client_read_index
#define client_query fake_client_query
#define client_acked_ms fake_client_acked_ms
#define client_may_tell fake_client_may_tell
#define service_client_open fake_service_client_open
#define client_info fake_client_info
#define client_received fake_client_received
#define client_sent fake_client_sent
#define client_opened_unix_ms fake_client_opened_unix_ms
#define client_secure fake_client_secure
#define service_status fake_service_status
#define service_reading fake_service_reading
#define service_members fake_service_members
#define service_applied fake_service_applied
#define service_now_ms fake_service_now_ms
#define service_unix_ms fake_service_unix_ms
#define service_random fake_service_random
#define service_log fake_service_log
#define service_query fake_service_query
#define service_leases fake_service_leases
#define service_lease fake_service_lease
#define service_each_client fake_service_each_client
