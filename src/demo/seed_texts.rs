//! The invented people, firms and troubles that the demo PSA starts with.

/// Name, web site, billing cycle, industry, region, credit balance in cents.
pub(super) const CLIENTS: [(&str, &str, &str, &str, &str, i64); 10] = [
    ("Alder & Finch Dental", "https://alderfinch.example", "monthly", "Healthcare", "US-OR", 0),
    ("Brightwater Logistics", "https://brightwater.example", "monthly", "Transport", "US-WA", 12_500),
    ("Cobalt Street Architects", "https://cobaltstreet.example", "quarterly", "Architecture", "US-OR", 0),
    ("Dunmore Veterinary Clinic", "https://dunmorevet.example", "monthly", "Healthcare", "US-ID", 0),
    ("Eastgate Food Bank", "https://eastgatefood.example", "annually", "Non-profit", "US-OR", 40_000),
    ("Fairmont Orchard Supply", "https://fairmontorchard.example", "monthly", "Agriculture", "US-WA", 0),
    ("Greyline Insurance Brokers", "https://greyline.example", "monthly", "Insurance", "US-CA", 7_250),
    ("Harbor Lane Bakery", "https://harborlane.example", "bi-weekly", "Food", "US-WA", 0),
    ("Ironwood Precision Parts", "https://ironwoodparts.example", "monthly", "Manufacturing", "US-ID", 0),
    ("Juniper Hill Legal", "https://juniperhill.example", "monthly", "Legal", "US-CA", 99_900),
];

/// Client by position, name, role.
pub(super) const CONTACTS: [(usize, &str, &str); 24] = [
    (0, "Maren Alder", "Practice owner"),
    (0, "Tobias Finch", "Dentist"),
    (0, "Odile Brandt", "Front desk"),
    (1, "Ruben Castellan", "Operations manager"),
    (1, "Ines Okoro", "Dispatcher"),
    (1, "Gus Palermo", "Warehouse lead"),
    (2, "Hanneke Vroom", "Principal architect"),
    (2, "Silas Breck", "Drafting"),
    (3, "Dr. Noor Dunmore", "Veterinarian"),
    (3, "Petra Lindqvist", "Office manager"),
    (4, "Calvin Osei", "Director"),
    (4, "Bree Tamura", "Volunteer coordinator"),
    (5, "Wendell Fairmont", "Owner"),
    (5, "Lucia Prado", "Accounts"),
    (6, "Anselm Grey", "Managing broker"),
    (6, "Tamsin Rourke", "Claims"),
    (6, "Yusuf Demir", "Compliance officer"),
    (7, "Coralie Dupont", "Owner"),
    (7, "Mats Nyberg", "Head baker"),
    (8, "Edda Kowalczyk", "Plant manager"),
    (8, "Hal Jimenez", "Maintenance"),
    (8, "Freya Solberg", "Quality"),
    (9, "Roderick Vane", "Partner"),
    (9, "Miriam Achebe", "Paralegal"),
];

/// User name, full name, roles, and whether it is a person (the others back agents and services).
pub(super) const USERS: [(&str, &str, &[&str], bool); 11] = [
    (super::seed::ADMINISTRATOR, "Vera Halloran", &["Admin"], true),
    ("jonas", "Jonas Whitlock", &["Technician"], true),
    ("amara", "Amara Nwosu", &["Technician"], true),
    ("piet", "Piet Verhoeven", &["Technician"], true),
    ("lena", "Lena Storm", &["Dispatcher"], true),
    ("omar", "Omar Beckett", &["Billing"], true),
    ("sofia", "Sofia Marchetti", &["Technician", "Dispatcher"], true),
    ("ingrid", "Ingrid Solheim", &["Read only"], true),
    (super::seed::CATALOG_USER, "Catalogue reader", &[], false),
    (super::seed::TECHNICIAN_AGENT, "Agent: field technician", &["Technician"], false),
    (super::seed::READER_AGENT, "Agent: reader", &["Read only"], false),
];

pub(super) const BOARDS: [(&str, &str); 3] = [
    ("Service Desk", "Everyday requests and troubles"),
    ("Projects", "Work that was planned and quoted"),
    ("Monitoring", "Alerts from the monitoring agents"),
];

/// Name and whether it closes the ticket; every board has its own five.
pub(super) const STATUSES: [(&str, bool); 5] = [
    ("New", false),
    ("In Progress", false),
    ("Waiting on Client", false),
    ("Resolved", true),
    ("Closed", true),
];

pub(super) const PRIORITIES: [(&str, &str); 4] =
    [("Critical", "#b91c1c"), ("High", "#ea580c"), ("Medium", "#ca8a04"), ("Low", "#15803d")];

pub(super) const CATEGORIES: [&str; 8] =
    ["Hardware", "Software", "Network", "E-mail", "Security", "Printing", "Backup", "Onboarding"];

/// Name, billing method, rate in cents.
pub(super) const SERVICES: [(&str, &str, i64); 6] = [
    ("Remote support", "hourly", 12_500),
    ("On-site support", "hourly", 16_500),
    ("Project work", "hourly", 14_500),
    ("Managed workstation", "fixed", 4_500),
    ("Managed server", "fixed", 18_000),
    ("Cloud backup, per GB", "usage", 12),
];

/// Client by position, kind, model, location.
pub(super) const ASSETS: [(usize, &str, &str, &str); 28] = [
    (0, "workstation", "X-ray viewer workstation", "Treatment room 1"),
    (0, "workstation", "Front desk computer", "Reception"),
    (0, "printer", "Reception laser printer", "Reception"),
    (1, "server", "Dispatch server", "Warehouse office"),
    (1, "network_device", "Bay 4 access point", "Loading bay 4"),
    (1, "mobile_device", "Forklift tablet 2", "Warehouse"),
    (1, "mobile_device", "Handheld scanner 11", "Warehouse"),
    (2, "server", "Drawing server", "Studio rack"),
    (2, "printer", "Wide format plotter", "Studio"),
    (2, "workstation", "Rendering workstation", "Studio"),
    (3, "server", "Practice server", "Back office"),
    (3, "workstation", "Ultrasound computer", "Examination 2"),
    (4, "workstation", "Volunteer laptop 07", "Store room"),
    (4, "network_device", "Hall firewall", "Office"),
    (5, "workstation", "Weighing station computer", "Weighbridge"),
    (5, "network_device", "Gate camera", "North gate"),
    (6, "workstation", "Claims laptop 3", "Second floor"),
    (6, "workstation", "Broker laptop 1", "Second floor"),
    (6, "server", "Policy archive server", "Data centre"),
    (7, "workstation", "Shop till", "Shop"),
    (7, "mobile_device", "Order tablet", "Bakehouse"),
    (8, "workstation", "Milling line 2 controller", "Hall B"),
    (8, "network_device", "Core switch", "Hall A cabinet"),
    (8, "workstation", "Measuring room computer", "Quality"),
    (8, "server", "Plant file server", "Hall A cabinet"),
    (9, "server", "Document server", "Basement"),
    (9, "mobile_device", "Partner phone", "With R. Vane"),
    (9, "printer", "Filing room scanner", "Third floor"),
];

/// Client by position, name, status, hours budgeted, tasks.
pub(super) const PROJECTS: [(usize, &str, &str, i64, [&str; 4]); 5] = [
    (
        2,
        "Drawing archive move",
        "active",
        40,
        ["Measure the archive", "First copy", "Second copy", "Switch the shares"],
    ),
    (
        8,
        "Plant wireless renewal",
        "active",
        64,
        ["Site survey", "Order access points", "First visit", "Second visit"],
    ),
    (
        6,
        "Yearly audit preparation",
        "planning",
        24,
        ["List of laptops", "Disk encryption proof", "Access review", "Report"],
    ),
    (4, "Office move", "on_hold", 32, ["Lease check", "Cabling quote", "Internet line", "Moving day"]),
    (9, "Mail security", "completed", 18, ["Sender records", "Filter rules", "Training", "Hand-over"]),
];

/// Name and first lines of the documents.
pub(super) const DOCUMENTS: [(usize, &str, &str); 6] = [
    (
        0,
        "How to restart the X-ray viewer",
        "Close the viewer, end its service, start the service, open the viewer.",
    ),
    (1, "Wireless map of the warehouse", "Access points by bay with their channels."),
    (
        6,
        "What to do after a suspicious sign-in",
        "End all sessions, change the password, look for mailbox rules.",
    ),
    (7, "Card terminal emergency plan", "Where the spare terminal is and whom to call at the bank."),
    (8, "Plant network plan", "Cabinets, switches and the separate network of the machines."),
    (9, "Scanner accounts", "Each scanner has an account of its own; where they are kept."),
];
